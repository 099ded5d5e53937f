import { defineConfig } from "vite";

// One entry per page; the server reads the manifest to find the hashed names.
export default defineConfig({
  base: "/static/",
  publicDir: false,
  build: {
    outDir: "../static/built",
    emptyOutDir: true,
    manifest: "manifest.json",
    target: "es2022",
    assetsDir: "assets",
    assetsInlineLimit: 0, // the content security policy of the pages allows no data: fonts
    modulePreload: { polyfill: false },
    rollupOptions: {
      input: {
        page: "src/page.ts",
        worklist: "src/worklist.ts",
        patient: "src/patient.ts",
        study: "src/study.ts",
        review: "src/review.ts",
        operations: "src/operations.ts",
      },
    },
  },
});
