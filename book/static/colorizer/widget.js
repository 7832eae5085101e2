// The page's side, for the elements of widget.html: takes a photograph, shows it before and
// after, saves it; a worker does the rest. Nothing leaves the page.
(() => {
  "use strict";

  const HERE = document.currentScript.src.replace(/[^/]*$/, "");
  const VIEWS = [64, 96, 128, 160, 224]; // pixels; the network was trained on 64 to 160
  const MOST = 64e6; // pixels of a photograph, or data-most: 48 megapixels, and some more
  const LEAST = 8; // pixels of a side

  class ReaderError extends Error {} // its message is a sentence for the reader

  const number = (value) => Math.round(value).toLocaleString("en");
  const measures = ({ width, height }) => `${number(width)} × ${number(height)}`;

  // A worker made of the text of three functions; ask(name, given) calls it.
  function startWorker(report) {
    const text = `const network = (${colorNetwork})();
      (${colorWorker})(network, (${colorPixels})(network.positions), self);`;
    const worker = new Worker(URL.createObjectURL(new Blob([text], { type: "text/javascript" })));
    const waiting = new Map();
    worker.onmessage = ({ data: { progress, id, result, fault } }) => {
      if (progress) return report(progress);
      if (fault) waiting.get(id).reject(new Error(fault));
      else waiting.get(id).resolve(result);
      waiting.delete(id);
    };
    let id = 0;
    return (name, given, transfer = []) => new Promise((resolve, reject) => {
      waiting.set(++id, { resolve, reject });
      worker.postMessage({ id, name, given }, transfer);
    });
  }

  // weights.js is several megabytes: it is loaded when first wanted, and then forgotten.
  function loadWeights() {
    return new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.src = `${HERE}weights.js`;
      script.onload = () => {
        resolve(window.colorizerWeights);
        delete window.colorizerWeights;
      };
      script.onerror = () => reject(new ReaderError("This book was built without the network: weights.js is missing."));
      document.head.append(script);
    });
  }

  // A file -> its pixels, upright as its EXIF says.
  async function decode(file) {
    const picture = await createImageBitmap(file, { imageOrientation: "from-image" })
      .catch(() => decodeAsElement(file)) // older browsers, and drawings (SVG)
      .catch(() => { throw new ReaderError(`This browser cannot read “${file.name}” as a picture; give a JPEG, PNG or WebP.`); });
    if (Math.min(picture.width, picture.height) >= LEAST) return picture;
    throw new ReaderError(`“${file.name}” has ${measures(picture)} pixels; give a picture of at least ${LEAST} × ${LEAST}.`);
  }

  async function decodeAsElement(file) {
    const image = Object.assign(new Image(), { src: URL.createObjectURL(file) });
    await image.decode().finally(() => URL.revokeObjectURL(image.src));
    return createImageBitmap(image);
  }

  function draw(canvas, picture) {
    Object.assign(canvas, { width: picture.width, height: picture.height });
    canvas.getContext("2d").drawImage(picture, 0, 0);
    picture.close();
  }

  function download(blob, name) {
    const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  }

  function setUp(box) {
    box.hidden = false;
    const find = (selector) => box.querySelector(selector);
    const [progress, stage, views] = ["progress", ".stage", "fieldset"].map(find);
    const [before, after] = box.querySelectorAll("canvas");
    const [divider, temperature, caution] = box.querySelectorAll("[type=range]");
    const tell = (text) => { find(".colorizer-status").textContent = text; };
    let ask, config, done, name, note;

    // Jobs run one after the other; the status says what goes wrong.
    let queue = Promise.resolve();
    function work(job) {
      queue = queue.then(job).catch((error) => tell(error instanceof ReaderError ? error.message
        : `This browser could not do it, perhaps for want of memory; try a smaller copy (${error.message}).`));
    }

    async function start() {
      if (typeof OffscreenCanvas === "undefined") throw new ReaderError("This browser is too old; take one of 2023 or newer.");
      tell("Loading the network …");
      ask ??= startWorker((part) => { progress.value = part; });
      config = await ask("load", [await loadWeights()]);
      caution.value = config.caution;
      const sizes = [...new Set([...VIEWS, config.view_size])].sort((a, b) => a - b);
      sizes.forEach((size) => views.insertAdjacentHTML("beforeend",
        `<label><input type="radio" name="colorizer-view" value="${size}">${size}</label>`));
      find(`[value="${config.view_size}"]`).checked = true;
    }

    async function show(file) {
      const started = performance.now();
      tell("Reading the photograph …");
      const picture = await decode(file);
      if (!config) await start();
      const opened = await ask("open", [picture, Number(box.dataset.most ?? MOST)], [picture]);
      name = file.name.replace(/\.[^.]*$/, "");
      note = opened.width === opened.given.width ? ""
        : ` Its ${measures(opened.given)} pixels are too many here: it was made smaller, ${measures(opened)}.`;
      after.width = before.width; // empties it
      draw(before, opened.gray);
      find(".colorizer-fit").style.maxWidth = `min(${opened.width}px, ${(80 * opened.width) / opened.height}vh)`;
      find(".colorizer-result").hidden = false;
      done = {};
      await colour(started);
    }

    // Colour the photograph as the settings are now, if they are not what was done last:
    // a slider asks more often than pictures are made.
    async function colour(started = performance.now()) {
      const [size, T, cost] = [find("fieldset :checked"), temperature, caution].map(({ value }) => Number(value));
      if (size === done.size && T === done.T && cost === done.cost) return;
      if (size !== done.size) {
        tell("The network looks at the photograph …");
        Object.assign(progress, { value: 0, hidden: false });
        done.seen = await ask("see", [size]).finally(() => { progress.hidden = true; });
      }
      const shown = box.querySelectorAll("output");
      [T.toFixed(2), cost.toFixed(4)].forEach((text, i) => { shown[i].value = text; });
      draw(after, await ask("colour", [T, cost]));
      if (size !== done.size) {
        const seconds = ((performance.now() - started) / 1000).toFixed(1);
        tell(`In colour after ${seconds} s. The network saw ${measures(done.seen)} pixels.${note}`);
      }
      Object.assign(done, { size, T, cost });
    }

    async function save(kind) {
      tell("Saving …");
      const blob = await ask("save", [`image/${kind}`]);
      const file = `${name}.coloured.${kind === "jpeg" ? "jpg" : kind}`;
      download(blob, file);
      tell(`Saved as ${file}, ${number(blob.size / 1e3)} kB.${note}`);
    }

    function divide(percent) {
      divider.value = percent;
      stage.style.setProperty("--at", `${divider.value}%`);
      divider.setAttribute("aria-valuetext", `${100 - divider.value} % in colour`);
    }

    function drag(event) {
      const { left, width } = stage.getBoundingClientRect();
      divide((100 * (event.clientX - left)) / width);
    }

    // The first picture of what was chosen, dropped or pasted.
    function give(files) {
      const file = [...files].find(({ type }) => type.startsWith("image/")) ?? files[0];
      if (file) work(() => show(file));
    }

    divide(50);
    find("details").open = find("a").pathname === location.pathname; // in the lesson on it
    divider.addEventListener("input", () => divide(divider.value));
    stage.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return; // the other one may save the picture
      event.preventDefault();
      stage.setPointerCapture(event.pointerId);
      divider.focus({ preventScroll: true });
      drag(event);
    });
    stage.addEventListener("pointermove", (event) => stage.hasPointerCapture(event.pointerId) && drag(event));
    [temperature, caution, views].forEach((setting) => setting.addEventListener("input", () => work(() => colour())));
    box.querySelectorAll("button").forEach((button) => button.addEventListener("click", () => work(() => save(button.value))));
    find("[type=file]").addEventListener("change", ({ target }) => {
      give([...target.files]);
      target.value = ""; // so that the same file can be given again
    });
    document.addEventListener("paste", (event) => give(event.clipboardData.files));
    for (const type of ["dragover", "dragleave", "drop"]) {
      document.addEventListener(type, (event) => { // anywhere: or the browser would leave the page
        if (!event.dataTransfer.types.includes("Files")) return;
        event.preventDefault();
        box.classList.toggle("colorizer-over", type === "dragover");
        give(type === "drop" ? event.dataTransfer.files : []);
      });
    }
  }

  document.querySelectorAll(".colorizer").forEach(setUp);
})();
