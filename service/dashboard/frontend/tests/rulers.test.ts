import { describe, expect, it } from "vitest";
import { Rulers } from "../src/viewer/rulers";

function drawn(): Rulers {
  const rulers = new Rulers();
  rulers.begin("current", [10, 10], 5);
  rulers.move([110, 10]);
  rulers.finish(3);
  return rulers;
}

describe("rulers", () => {
  it("keep the length that was drawn and let its end be taken up again", () => {
    const rulers = drawn();
    rulers.begin("current", [13, 11], 5); // near the end that it began with
    rulers.move([10, 60]);
    rulers.finish(3);
    expect(rulers.all).toEqual([{ side: "current", from: [110, 10], to: [10, 60] }]);
  });

  it("belong to the film that they were drawn on", () => {
    const rulers = drawn();
    rulers.begin("prior", [10, 10], 5);
    rulers.move([50, 50]);
    rulers.finish(3);
    expect(rulers.all.map((one) => one.side)).toEqual(["current", "prior"]);
  });

  it("forget a slip of the hand and one that was given up", () => {
    const rulers = drawn();
    rulers.begin("current", [200, 200], 5);
    rulers.move([201, 201]);
    rulers.finish(3);
    rulers.begin("current", [300, 300], 5);
    rulers.move([400, 300]);
    rulers.cancel();
    expect(rulers.all).toEqual(drawn().all);
    expect(rulers.moving).toBeNull();
  });

  it("are taken off one by one", () => {
    const rulers = drawn();
    rulers.removeLast();
    rulers.removeLast();
    expect(rulers.all).toEqual([]);
    expect(rulers.last).toBeNull();
  });
});
