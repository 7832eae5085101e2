// The worker: holds the network and one photograph, and answers the page. A call is a
// message { id, name, given }, its answer { id, result } or { id, fault }.

function colorWorker(network, pixels, scope) {
  "use strict";

  const SHOWN = 2048; // longest side on the screen, pixels; it is saved at its own size
  const LONGEST = 8; // times the shorter side: longer photographs are seen squeezed
  const KEPT = 512; // shorter side, at least, of the gray copy that views are made from
  const STRIP = 2 ** 22; // pixels at a time: some browsers copy the whole canvas for each
  const JPEG_QUALITY = 0.95;

  let net, photograph, size, gray, view, lines;

  // A canvas with the photograph on it. One that is too large for the browser stays empty.
  function canvasWith(picture, { width, height }) {
    const canvas = new OffscreenCanvas(width, height);
    const context = canvas.getContext("2d", { willReadFrequently: true });
    const corner = [width - 1, height - 1, 1, 1];
    context?.fillRect(...corner);
    if (context?.getImageData(...corner).data[3] !== 255) throw new RangeError("the picture is too large");
    context.clearRect(...corner);
    context.imageSmoothingQuality = "high";
    context.drawImage(picture, 0, 0, width, height);
    return { canvas, context };
  }

  // Go through a canvas in strips: change(rgba, start, rows); then they are written back.
  function inStrips({ canvas: { width, height }, context }, change, writes = true) {
    const step = Math.max(1, Math.floor(STRIP / width));
    for (let start = 0; start < height; start += step) {
      const rows = Math.min(step, height - start);
      const strip = context.getImageData(0, start, width, rows);
      change(strip.data, start, rows);
      if (writes) context.putImageData(strip, 0, start);
    }
  }

  function scaled({ width, height }, scale) {
    return { width: Math.max(1, Math.round(width * scale)), height: Math.max(1, Math.round(height * scale)) };
  }

  // At its own size, or at the largest that the browser holds.
  function largestCanvas(picture, mostPixels) {
    let scale = Math.min(1, Math.sqrt(mostPixels / (picture.width * picture.height)));
    for (;; scale /= 2) {
      try {
        return canvasWith(picture, scaled(picture, scale));
      } catch (error) {
        if (picture.width * picture.height * scale ** 2 < 1e6) throw error; // it is not for its size
      }
    }
  }

  function grayPlane(drawn) {
    const { width, height } = drawn.canvas;
    const plane = pixels.reducedPlane(height, width, Math.max(1, Math.floor(Math.min(width, height) / KEPT)));
    inStrips(drawn, (rgba, start, rows) => {
      pixels.makeGray(rgba);
      plane.add(rgba, start, rows);
    }, false);
    return plane;
  }

  // The photograph in a size for the screen, changed by what `change(height, width)` gives.
  function shown(change) {
    const small = scaled(size, Math.min(1, SHOWN / Math.max(size.width, size.height)));
    const drawn = canvasWith(photograph, small);
    inStrips(drawn, change(small.height, small.width));
    return drawn.canvas.transferToImageBitmap();
  }

  const colour = (height, width) => pixels.joiner(lines, height, width);

  const calls = {
    load(file) {
      net = network.unpack(file);
      return net.config;
    },

    // Take a photograph; of more pixels than `mostPixels` it is made smaller.
    open(picture, mostPixels) {
      const drawn = largestCanvas(picture, mostPixels);
      gray = grayPlane(drawn);
      photograph?.close();
      photograph = picture;
      size = { width: drawn.canvas.width, height: drawn.canvas.height };
      return { ...size, given: { width: picture.width, height: picture.height }, gray: shown(() => pixels.makeGray) };
    },

    // Let the network see a small copy of that shorter side.
    see(shorterSide) {
      const exact = scaled(size, shorterSide / Math.min(size.width, size.height));
      const [height, width] = [exact.height, exact.width].map((side) => Math.min(side, LONGEST * shorterSide));
      const report = (progress) => scope.postMessage({ progress });
      const logits = network.logits(net, pixels.smallL_norm(gray, height, width), height, width, report);
      view = { logits, L_norm: pixels.smallL_norm(gray, logits.height, logits.width) };
      return { width, height };
    },

    // The colours at a temperature, chosen with some caution.
    colour(temperature, caution) {
      const chroma = network.cautiousColour(net, view.logits, temperature, caution);
      lines = pixels.chromaLines(chroma, view.L_norm);
      return shown(colour);
    },

    // A file of the photograph in colour, at its own size.
    save(type) {
      const drawn = canvasWith(photograph, size);
      inStrips(drawn, colour(size.height, size.width));
      if (type === "image/jpeg") { // which knows no transparency
        Object.assign(drawn.context, { globalCompositeOperation: "destination-over", fillStyle: "white" });
        drawn.context.fillRect(0, 0, size.width, size.height);
      }
      return drawn.canvas.convertToBlob({ type, quality: JPEG_QUALITY });
    },
  };

  scope.onmessage = async ({ data: { id, name, given } }) => {
    try {
      scope.postMessage({ id, result: await calls[name](...given) });
    } catch (error) {
      scope.postMessage({ id, fault: String(error) });
    }
  };
}
