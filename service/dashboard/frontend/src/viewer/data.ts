// What the server says of one study, for the viewer.

export interface FilmSource {
  url: string;
  width: number;
  height: number;
  spacing_mm: [number, number] | null; // row, column
  caption: string;
}

export interface StudyData {
  film: FilmSource;
  heat_url: string | null;
  contours_url: string | null;
  zones_url: string | null; // the thirds of the lungs that were scored
  labels: [string, string][]; // structure name and its words, in the order of the switches
  zones: { name: string; label: string; score: number; was: number | null }[];
  prior: FilmSource | null; // the prior as it was taken, for side by side
  aligned: { url: string; caption: string } | null; // only after the alignment passed its gate
  difference_url: string | null;
}

export type Contours = Record<string, [number, number][][]>;

export type Mode = "film" | "beside" | "swipe" | "blink" | "difference";
export type Tool = "window" | "pan" | "measure";
