// Pixels: sRGB and Lab, gray, small copies, and chroma brought back to full size. The same
// steps as in colorlib/color.py and colorlib/colorize.py.

function colorPixels(positions) {
  "use strict";

  const L_SCALE = 50, AB_SCALE = 128; // L_norm = L / 50 - 1, ab_norm = ab / 128
  const SLOPE_EPSILON = 0.01; // of L_norm squared: contrasts below 5 of L hardly guide chroma
  const FINE = 65535; // steps of the tables over linear light: finer than any display
  const DELTA = 6 / 29; // CIE lightness: a straight line below, a cube root above

  const toLinear = (display) => (display <= 0.04045 ? display / 12.92 : ((display + 0.055) / 1.055) ** 2.4);
  const toDisplay = (linear) => (linear <= 0.0031308 ? linear * 12.92 : 1.055 * linear ** (1 / 2.4) - 0.055);
  const compress = (ratio) => (ratio <= DELTA ** 3 ? ratio / (3 * DELTA ** 2) + 4 / 29 : Math.cbrt(ratio));
  const expand = (value) => (value <= DELTA ? 3 * DELTA ** 2 * (value - 4 / 29) : value * value * value);
  const toL_norm = (Y) => (116 * compress(Y) - 16) / L_SCALE - 1;

  // What every pixel needs is looked up. Luminance is a sum over three tables.
  const table = (Type, count, f) => Type.from({ length: count }, (_, i) => f(i / (count - 1)));
  const [Y_RED, Y_GREEN, Y_BLUE] = [0.212671, 0.71516, 0.072169].map((share) =>
    table(Float32Array, 256, (display) => FINE * share * toLinear(display)));
  const luminance = (rgba, i) => (Y_RED[rgba[i]] + Y_GREEN[rgba[i + 1]] + Y_BLUE[rgba[i + 2]] + 0.5) | 0; // 0 to FINE
  const L_NORM = table(Float32Array, FINE + 1, toL_norm);
  const DISPLAY = table(Uint8Array, FINE + 1, (linear) => Math.round(255 * toDisplay(linear)));
  const level = (linear) => DISPLAY[Math.min(Math.max(linear * FINE + 0.5, 0), FINE) | 0]; // out of gamut: clipped
  const L_NORM_OF_GRAY = table(Float32Array, 256, (display) => toL_norm(toLinear(display)));
  let gray = 0;
  const GRAY = Uint8Array.from(L_NORM, (L_norm) => { // of the 256, the nearest in lightness
    while (gray < 255 && 2 * L_norm > L_NORM_OF_GRAY[gray] + L_NORM_OF_GRAY[gray + 1]) gray++;
    return gray;
  });

  // RGBA pixels become gray, in place.
  function makeGray(rgba) {
    for (let i = 0; i < rgba.length; i += 4) rgba[i] = rgba[i + 1] = rgba[i + 2] = GRAY[luminance(rgba, i)];
  }

  // A plane of means over factor x factor gray pixels, of a photograph of H x W that is
  // added strip by strip. At its edges there are fewer to be averaged.
  function reducedPlane(H, W, factor) {
    const height = Math.ceil(H / factor), width = Math.ceil(W / factor);
    const data = new Float32Array(height * width);
    const add = (rgba, start, rows) => {
      for (let y = start, i = 0; y < start + rows; y++) {
        const row = Math.floor(y / factor);
        const high = Math.min(factor, H - row * factor);
        for (let x = 0; x < width; x++) {
          const wide = Math.min(factor, W - x * factor);
          let sum = 0;
          for (let n = 0; n < wide; n++, i += 4) sum += rgba[i];
          data[row * width + x] += sum / (wide * high);
        }
      }
    };
    return { height, width, data, add, tall: H / factor, wide: W / factor };
  }

  function lanczos(x) {
    if (Math.abs(x) >= 3) return 0;
    return x === 0 ? 1 : (3 * Math.sin(Math.PI * x) * Math.sin((Math.PI * x) / 3)) / (Math.PI * x) ** 2;
  }

  // Rows of `extent` pixels resampled to `count`, antialiased: (height, width) -> its
  // transpose (count, height), so that a second call does the columns.
  function resampleRows(data, height, width, extent, count) {
    const out = new Uint8ClampedArray(count * height); // rounded, as Pillow does
    const scale = extent / count, stretch = Math.max(scale, 1);
    for (let x = 0; x < count; x++) {
      const centre = (x + 0.5) * scale;
      const first = Math.max(Math.floor(centre - 3 * stretch + 0.5), 0);
      const last = Math.min(Math.floor(centre + 3 * stretch + 0.5), width);
      const weights = Array.from({ length: last - first }, (_, i) => lanczos((first + i + 0.5 - centre) / stretch));
      const total = weights.reduce((sum, weight) => sum + weight);
      for (let y = 0; y < height; y++) {
        let sum = 0;
        for (let i = first; i < last; i++) sum += data[y * width + i] * weights[i - first];
        out[x * height + y] = sum / total;
      }
    }
    return out;
  }

  // A reduced plane of grays -> `L_norm` (h * w).
  function smallL_norm({ height, width, data, tall, wide }, h, w) {
    const turned = resampleRows(data, height, width, wide, w); // (w, height)
    const grays = resampleRows(turned, w, height, tall, h); // (h, w)
    return Float32Array.from(grays, (gray) => L_NORM_OF_GRAY[gray]);
  }

  // Mean over 3x3 pixels of f(i), the border repeated: (h * w).
  function meanAround(h, w, f) {
    const clamp = (i, n) => Math.min(Math.max(i, 0), n - 1);
    return Float64Array.from({ length: h * w }, (_, p) => {
      let sum = 0;
      for (let y = -1; y <= 1; y++) {
        for (let x = -1; x <= 1; x++) sum += f(clamp(Math.floor(p / w) + y, h) * w + clamp((p % w) + x, w));
      }
      return sum / 9;
    });
  }

  // Chroma as a straight line over lightness around each pixel of the small grid, as in
  // chroma_along_lightness: [slope of a, offset of a, slope of b, offset of b].
  function chromaLines({ height, width, a, b }, L_norm) {
    const mean = (f) => meanAround(height, width, f);
    const meanL = mean((i) => L_norm[i]), meanLL = mean((i) => L_norm[i] ** 2);
    const planes = [a, b].flatMap((ab) => {
      const ab_norm = ab.map((value) => value / AB_SCALE);
      const meanAb = mean((i) => ab_norm[i]), meanLAb = mean((i) => L_norm[i] * ab_norm[i]);
      const slope = Float32Array.from(meanAb, (_, i) =>
        (meanLAb[i] - meanL[i] * meanAb[i]) / (meanLL[i] - meanL[i] ** 2 + SLOPE_EPSILON));
      return [slope, ab_norm.map((value, i) => value - slope[i] * L_norm[i])];
    });
    return { height, width, planes };
  }

  // Between two rows of each plane: (width).
  function enlargeRow(lines, planes, { before, after, part }, width) {
    planes.forEach((plane, k) => {
      for (let x = 0; x < width; x++) {
        const upper = plane[before * width + x], lower = plane[after * width + x];
        lines[k][x] = upper + part * (lower - upper);
      }
    });
  }

  // What gives rows of a photograph of H x W the chroma of the lines, and keeps their
  // lightness: called with RGBA (rows, W, 4), which it changes, and the first row's number.
  function joiner({ height, width, planes }, H, W) {
    const rows = positions(height, H), columns = positions(width, W);
    const before = Int32Array.from(columns, (c) => c.before), after = Int32Array.from(columns, (c) => c.after);
    const part = Float32Array.from(columns, (c) => c.part);
    const lines = planes.map(() => new Float32Array(width)); // those of one row
    const [slopeA, offsetA, slopeB, offsetB] = lines;
    const between = (line, x) => line[before[x]] + part[x] * (line[after[x]] - line[before[x]]);
    return (rgba, start) => {
      for (let i = 0, y = start; i < rgba.length; y++) {
        enlargeRow(lines, planes, rows[y], width);
        for (let x = 0; x < W; x++, i += 4) {
          const L_norm = L_NORM[luminance(rgba, i)];
          const a = AB_SCALE * (between(slopeA, x) * L_norm + between(offsetA, x));
          const b = AB_SCALE * (between(slopeB, x) * L_norm + between(offsetB, x));
          const f = (L_SCALE * (L_norm + 1) + 16) / 116; // Lab -> XYZ under D65 -> linear sRGB
          const X = 0.95047 * expand(f + a / 500), Y = expand(f), Z = 1.08883 * expand(f - b / 200);
          rgba[i] = level(3.2404813432 * X - 1.5371515163 * Y - 0.4985363262 * Z);
          rgba[i + 1] = level(-0.96925495 * X + 1.8759900015 * Y + 0.0415559266 * Z);
          rgba[i + 2] = level(0.0556466391 * X - 0.2040413384 * Y + 1.0573110696 * Z);
        }
      }
    };
  }

  return { makeGray, reducedPlane, smallL_norm, chromaLines, joiner };
}
