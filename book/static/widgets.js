// What moves the pieces of companion/report/widgets.py, in the book and in notebooks. No
// library, no request, no cookie. Each piece is an element of its own, such as
// <colorlib-before-after>, with its pictures inside: without this script, and in print, they
// stand side by side.

(() => {
  "use strict";

  // ------------------------------------------------------------------- parts of a page

  function element(name, properties = {}, ...children) {
    const { role, label, ...others } = properties;
    const made = Object.assign(document.createElement(name), others);
    if (role) made.setAttribute("role", role);
    if (label) made.setAttribute("aria-label", label);
    made.append(...children);
    return made;
  }

  // Radio buttons in a row; `choose` is called with the place of the one chosen.
  function choice(legend, names, choose) {
    const group = `colorlib-${Math.random()}`; // pieces of one kind must not share it
    const labels = names.map((name, i) => {
      const button = element("input", { type: "radio", name: group, checked: i === 0 });
      button.addEventListener("change", () => choose(i));
      return element("label", {}, button, ` ${name}`);
    });
    return element("fieldset", {}, element("legend", { textContent: legend }), ...labels);
  }

  // Where a pointer is on an element, from 0 to 1 across and down.
  function placeOf(event, target) {
    const box = target.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  }

  // Call `move` with the place while mouse, pen or finger is down on an element.
  function drag(target, move) {
    target.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      target.setPointerCapture(event.pointerId);
      move(...placeOf(event, target));
    });
    target.addEventListener("pointermove", (event) => {
      if (target.hasPointerCapture(event.pointerId)) move(...placeOf(event, target));
    });
  }

  // A canvas on which a place is chosen, by pointer or arrow keys. `move(x, y)` draws, and
  // returns in words what is there.
  function pad(canvas, label, move) {
    let x = 0.5, y = 0.5;
    const set = (newX, newY) => {
      [x, y] = [newX, newY].map((value) => Math.min(Math.max(value, 0), 0.9999));
      canvas.setAttribute("aria-valuetext", move(x, y));
      canvas.setAttribute("aria-valuenow", Math.round(100 * x));
    };
    canvas.tabIndex = 0;
    canvas.setAttribute("role", "slider");
    canvas.setAttribute("aria-roledescription", "place, moved by the four arrow keys");
    canvas.setAttribute("aria-label", label);
    canvas.setAttribute("aria-valuenow", 50);
    drag(canvas, set);
    const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    canvas.addEventListener("keydown", (event) => {
      if (!(event.key in steps)) return;
      event.preventDefault();
      const size = event.shiftKey ? 0.1 : 0.02;
      set(x + size * steps[event.key][0], y + size * steps[event.key][1]);
    });
    return set;
  }

  // ------------------------------------------------------------------------- pictures

  // The numbers of a picture, RGBA, and a canvas of its size.
  async function pixelsOf(image, label) {
    await image.decode();
    const [width, height] = [image.naturalWidth, image.naturalHeight];
    const canvas = element("canvas", { width, height, role: "img", label });
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(image, 0, 0);
    return { width, height, canvas, context, pixels: context.getImageData(0, 0, width, height) };
  }

  const placeGiven = (box) => box.dataset.place.split(",").map(Number);

  // Base64 -> bytes.
  const bytesOf = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));

  // The axes of the ab plane, thin, through its middle.
  function axes(view, size) {
    Object.assign(view, { fillStyle: "#fff", strokeStyle: "#fff6", lineWidth: 1, font: "13px sans-serif" });
    view.strokeRect(-1, size / 2, size + 2, size);
    view.strokeRect(size / 2, -1, size, size + 2);
    view.fillText("a", size - 12, size / 2 - 5);
    view.fillText("b", size / 2 + 5, 13);
  }

  // A ring that is seen on any colour.
  function ring(context, x, y, radius = 5) {
    for (const [colour, width] of [["#000", 4], ["#fff", 2]]) {
      Object.assign(context, { strokeStyle: colour, lineWidth: width });
      context.beginPath();
      context.arc(x, y, radius, 0, 7);
      context.stroke();
    }
  }

  // ------------------------------------------------- sRGB and CIE Lab, as colorlib/color.py

  const DELTA = 6 / 29;
  const toLinear = (v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  const toDisplay = (v) => (v <= 0.0031308 ? v * 12.92 : 1.055 * v ** (1 / 2.4) - 0.055);
  const compress = (v) => (v > DELTA ** 3 ? Math.cbrt(v) : v / (3 * DELTA ** 2) + 4 / 29);
  const expand = (v) => (v > DELTA ? v ** 3 : 3 * DELTA ** 2 * (v - 4 / 29));

  // 0 to 255 -> [L, a, b].
  function labOf(red, green, blue) {
    const [r, g, b] = [red, green, blue].map((value) => toLinear(value / 255));
    const x = compress((0.412453 * r + 0.35758 * g + 0.180423 * b) / 0.95047);
    const y = compress(0.212671 * r + 0.71516 * g + 0.072169 * b);
    const z = compress((0.019334 * r + 0.119193 * g + 0.950227 * b) / 1.08883);
    return [116 * y - 16, 500 * (x - y), 200 * (y - z)];
  }

  // Lab -> linear r, g, b; a screen can show them if all are from 0 to 1.
  function linearOf(L, a, b) {
    const middle = (L + 16) / 116;
    const [x, y, z] = [0.95047 * expand(middle + a / 500), expand(middle), 1.08883 * expand(middle - b / 200)];
    return [
      3.240481 * x - 1.537152 * y - 0.498536 * z,
      -0.969255 * x + 1.87599 * y + 0.041556 * z,
      0.055647 * x - 0.204041 * y + 1.057311 * z,
    ];
  }

  const inGamut = (linear) => linear.every((value) => value >= -1e-4 && value <= 1.0001);
  const levels = (linear) => linear.map((value) => Math.round(255 * toDisplay(Math.min(Math.max(value, 0), 1))));
  const css = (L, a, b) => `rgb(${levels(linearOf(L, a, b)).join(" ")})`;

  // ------------------------------------------------------------------ before and after

  // Two pictures over each other, of two or three: the divider is dragged on them.
  function beforeAfter(box) {
    const images = [...box.querySelectorAll("img")].map((image) => image.cloneNode());
    const names = [...box.querySelectorAll("figcaption")].map((caption) => caption.textContent);
    const slider = element("input", { type: "range", min: 0, max: 100, value: 50 });
    const stage = element("div", { className: "stage" });
    const sides = element("p", { className: "sides" });
    const move = () => stage.style.setProperty("--at", `${slider.value}%`);
    slider.addEventListener("input", move);
    drag(stage, (x) => { slider.value = 100 * x; move(); });
    const show = (left, right) => {
      slider.setAttribute("aria-label", `${box.dataset.label}: ${names[left]} ends, ${names[right]} begins`);
      stage.replaceChildren(images[left], images[right], slider, element("i"));
      sides.replaceChildren(element("span", { textContent: names[left] }), element("span", { textContent: names[right] }));
    };
    const pairs = names.length > 2 ? [[0, 1], [1, 2], [0, 2]] : [[0, 1]];
    const words = pairs.map(([left, right]) => `${names[left]} | ${names[right]}`);
    if (pairs.length > 1) box.append(choice("Compare", words, (i) => show(...pairs[i])));
    box.append(element("div", { className: "fit" }, stage, sides));
    show(...pairs[0]);
    move();
  }

  // ---------------------------------------------------------------------------- switch

  // One row of pictures of several; all rows are in one place, so that only changes move.
  function oneOf(box) {
    const rows = [...box.querySelectorAll("section")];
    const show = (chosen) => rows.forEach((row, i) => { row.hidden = i !== chosen; });
    box.prepend(choice(box.dataset.label, rows.map((row) => row.dataset.name), show));
    show(0);
  }

  // ----------------------------------------------------------------- real or coloured?

  // The interval of Wilson (1927) for a fraction, 95 %.
  function wilson(right, count, z = 1.959964) {
    const share = right / count;
    const middle = share + (z * z) / (2 * count);
    const half = z * Math.sqrt((share * (1 - share)) / count + (z * z) / (4 * count * count));
    return [middle - half, middle + half].map((end) => end / (1 + (z * z) / count));
  }

  const percent = (share) => `${Math.round(100 * share)}\u00a0%`;

  // Which models were taken for real, and how often: a table.
  function competition(questions, votes) {
    const table = element("table", {}, element("caption", { textContent: "How often each model fooled you" }));
    const row = (kind, ...cells) => table.append(
      element("tr", {}, ...cells.map((cell) => element(kind, { textContent: cell }))));
    row("th", "coloured by", "taken for real", "95 % interval");
    for (const model of new Set(questions.map((question) => question.dataset.model))) {
      const own = votes.filter((_, i) => questions[i].dataset.model === model);
      const fooled = own.filter((vote) => vote === 0).length;
      const [low, high] = wilson(fooled, own.length);
      row("td", model, `${fooled} of ${own.length}`, `${percent(low)} to ${percent(high)}`);
    }
    return table;
  }

  // One pair after the other: choose, read why, go on; in the end a score and the votes.
  function realOrColoured(box) {
    const questions = [...box.querySelectorAll("section")];
    const votes = [];
    const status = element("p", { className: "answer", role: "status", tabIndex: -1 });
    const next = element("button", { type: "button", hidden: true });
    box.append(status, next);

    const answer = (question, place) => {
      const right = place === question.dataset.right;
      votes.push(right ? 1 : 0);
      question.querySelectorAll("button").forEach((button) => { button.disabled = true; });
      status.textContent = `${right ? "Right." : "No."} ${question.querySelector("details p").textContent}`;
      next.textContent = votes.length < questions.length ? "Next pair" : "Your score";
      next.hidden = false;
      next.focus();
    };
    for (const question of questions) {
      for (const figure of question.querySelectorAll("figure")) {
        const place = figure.querySelector("figcaption").textContent;
        const button = element("button", { type: "button", textContent: "This is real", label: `This is real: the ${place}` });
        button.addEventListener("click", () => answer(question, place));
        figure.append(button);
      }
    }
    const score = () => {
      const right = votes.reduce((sum, vote) => sum + vote, 0);
      const [low, high] = wilson(right, votes.length);
      const read = low > 0.5 ? "You can tell them apart." : "This does not show that you can tell them apart.";
      status.textContent =
        `${right} of ${votes.length} right: ${percent(right / votes.length)} ` +
        `(95 % interval ${Math.round(100 * low)} to ${percent(high)}). ${read} ` +
        `Your votes, for the analysis below: ${votes.join(",")}`;
      box.append(competition(questions, votes));
    };
    const show = () => {
      questions.forEach((question, i) => { question.hidden = i !== votes.length; });
      next.hidden = true;
      if (votes.length === questions.length) return score();
      status.textContent = `Pair ${votes.length + 1} of ${questions.length}: which one has its true colours?`;
    };
    next.addEventListener("click", () => {
      show();
      // The button that had the focus is hidden: go on with the first choice, or the score.
      (box.querySelector("section:not([hidden]) button") ?? status).focus();
    });
    show();
  }

  // ----------------------------------------------------------------------- temperature

  // Kept scores -> depth below the best, in logits; stored are 255 steps, finer near the best.
  const depthsOf = ({ scores, reach }) => Float32Array.from(bytesOf(scores), (step) => reach * (step / 255) ** 2);

  // Probabilities of the bins at one place, at a temperature.
  function probabilities(depths, place, count, temperature) {
    const shares = depths.subarray(place * count, (place + 1) * count).map((depth) => Math.exp(-depth / temperature));
    const total = shares.reduce((sum, share) => sum + share);
    return shares.map((share) => share / total);
  }

  // Their mean colour.
  function meanOf(shares, centres) {
    let a = 0, b = 0;
    shares.forEach((share, q) => { a += share * centres[q][0]; b += share * centres[q][1]; });
    return [a, b];
  }

  // Bilinear: a grid of [a, b], (rows, columns) -> at a place from 0 to 1.
  function between(grid, rows, columns, x, y) {
    const at = (value, count) => Math.min(Math.max(value * count - 0.5, 0), count - 1);
    const [row, column] = [at(y, rows), at(x, columns)];
    const [top, left] = [Math.floor(row), Math.floor(column)];
    const [bottom, right] = [Math.min(top + 1, rows - 1), Math.min(left + 1, columns - 1)];
    const mix = (one, other, part) => [one[0] + part * (other[0] - one[0]), one[1] + part * (other[1] - one[1])];
    const upper = mix(grid[top * columns + left], grid[top * columns + right], column - left);
    const lower = mix(grid[bottom * columns + left], grid[bottom * columns + right], column - left);
    return mix(upper, lower, row - top);
  }

  const CELL = 10, REACH = 115; // Lab units: width of a bin, end of the plane that is drawn
  const onPlane = (value, size) => ((value + REACH) / (2 * REACH)) * size;

  // A photograph in the colours that a classification means, at a temperature of choice; and
  // the distribution at a place of choice.
  async function temperature(box) {
    const [rows, columns] = box.dataset.shape.split(",").map(Number);
    const centres = JSON.parse(box.dataset.centres), count = centres.length;
    const depths = depthsOf(box.dataset);
    const { width, height, canvas, context, pixels } = await pixelsOf(box.querySelector("img"), "");
    const L = Float32Array.from({ length: width * height }, (_, i) => labOf(...pixels.data.subarray(4 * i, 4 * i + 3))[0]);
    const plane = element("canvas", { width: 230, height: 230, role: "img", label: "The ab plane: how probable each colour is at that place" });
    const slider = element("input", { type: "range", min: 0.02, max: 1, step: 0.02, value: 0.38 });
    const value = element("output"), said = element("p", { className: "said", role: "status" });
    let [x, y] = placeGiven(box);

    const paint = () => {
      const T = Number(slider.value);
      const grid = Array.from({ length: rows * columns }, (_, i) => meanOf(probabilities(depths, i, count, T), centres));
      for (let i = 0; i < L.length; i++) {
        const [a, b] = between(grid, rows, columns, ((i % width) + 0.5) / width, (Math.floor(i / width) + 0.5) / height);
        pixels.data.set(levels(linearOf(L[i], a, b)), 4 * i);
      }
      value.textContent = T.toFixed(2);
    };
    const point = () => {
      context.putImageData(pixels, 0, 0);
      ring(context, x * width, y * height);
      const place = Math.floor(y * rows) * columns + Math.floor(x * columns);
      const shares = probabilities(depths, place, count, Number(slider.value));
      const most = Math.max(...shares), [a, b] = meanOf(shares, centres);
      const here = L[Math.floor(y * height) * width + Math.floor(x * width)];
      const view = plane.getContext("2d"), size = plane.width, full = (CELL / (2 * REACH)) * size;
      view.fillStyle = "#777";
      view.fillRect(0, 0, size, size);
      shares.forEach((share, q) => { // the larger, the more probable; small ones are seen, too
        const side = full * (share / most) ** 0.3;
        view.fillStyle = css(here, ...centres[q]);
        view.fillRect(onPlane(centres[q][0], size) - side / 2, onPlane(-centres[q][1], size) - side / 2, side, side);
      });
      axes(view, size);
      ring(view, onPlane(a, size), onPlane(-b, size));
      const sorted = [...shares].sort((one, other) => other - one);
      let sum = 0;
      const needed = sorted.findIndex((share) => (sum += share) >= 0.9) + 1;
      return `At the ring, ${needed} of ${count} colours hold 90 % of the probability; their mean is a = ${Math.round(a)}, b = ${Math.round(b)}.`;
    };
    const set = pad(canvas, `${box.dataset.label}: the place whose distribution is shown`, (newX, newY) => {
      [x, y] = [newX, newY];
      return (said.textContent = point());
    });
    slider.addEventListener("input", () => { paint(); set(x, y); });
    box.append(
      element("div", { className: "beside" }, canvas, plane),
      element("label", {}, "Temperature ", slider, " ", value), said);
    paint();
    set(x, y);
  }

  // ------------------------------------------------------------------------- ambiguity

  const NEAR = 4; // of L: what is this much lighter or darker is not repainted

  // Click a pixel, see all colours of its lightness, choose one: what is that light changes.
  async function ambiguity(box) {
    const { width, height, canvas, context, pixels } = await pixelsOf(box.querySelector("img"), "");
    const lab = Array.from({ length: width * height }, (_, i) => labOf(...pixels.data.subarray(4 * i, 4 * i + 3)));
    const first = pixels.data.slice();
    const gray = element("canvas", { width, height, role: "img", label: "The same photograph in gray: it does not change" });
    const grays = new ImageData(width, height);
    lab.forEach(([L], i) => grays.data.set([...levels(linearOf(L, 0, 0)), 255], 4 * i));
    gray.getContext("2d").putImageData(grays, 0, 0);
    const plane = element("canvas", { width: 230, height: 230 });
    const view = plane.getContext("2d"), size = plane.width;
    const said = element("p", { className: "said", role: "status" });
    let here = 0, slice = null, colours = 0; // the pixel; the plane of its lightness
    let before = first; // the picture when the pixel was chosen

    const drawSlice = (L) => {
      const image = view.createImageData(size, size);
      colours = 0;
      for (let i = 0; i < size * size; i++) {
        const a = ((i % size) / size) * 2 * REACH - REACH, b = REACH - (Math.floor(i / size) / size) * 2 * REACH;
        const linear = linearOf(L, a, b);
        if (!inGamut(linear)) continue;
        colours++; // the plane has one pixel a unit
        image.data.set([...levels(linear), 255], 4 * i);
      }
      return image;
    };
    const mark = () => {
      context.putImageData(pixels, 0, 0);
      ring(context, (here % width) + 0.5, Math.floor(here / width) + 0.5);
      view.clearRect(0, 0, size, size);
      view.putImageData(slice, 0, 0);
      const [, a, b] = labOf(...pixels.data.subarray(4 * here, 4 * here + 3));
      axes(view, size);
      ring(view, onPlane(a, size), onPlane(-b, size));
      return `L = ${Math.round(lab[here][0])}, a = ${Math.round(a)}, b = ${Math.round(b)}. ` +
        `A screen can show about ${colours.toLocaleString("en")} colours of this lightness.`;
    };
    const repaint = (a, b) => {
      const L0 = lab[here][0];
      pixels.data.set(before);
      lab.forEach(([L], i) => {
        const part = Math.min(Math.max(2 - (2 * Math.abs(L - L0)) / NEAR, 0), 1); // soft edges
        if (part === 0) return;
        const [, oldA, oldB] = labOf(...pixels.data.subarray(4 * i, 4 * i + 3));
        let linear = linearOf(L, oldA + part * (a - oldA), oldB + part * (b - oldB));
        for (let less = 0.9; less > 0 && !inGamut(linear); less -= 0.1) linear = linearOf(L, less * a, less * b);
        pixels.data.set(levels(linear), 4 * i);
      });
    };
    const pick = pad(canvas, `${box.dataset.label}: the pixel whose lightness is looked at`, (x, y) => {
      here = Math.floor(y * height) * width + Math.floor(x * width);
      slice = drawSlice(lab[here][0]);
      before = pixels.data.slice();
      return (said.textContent = mark());
    });
    pad(plane, "All colours of this lightness: the one to repaint with", (x, y) => {
      const [a, b] = [2 * REACH * x - REACH, REACH - 2 * REACH * y];
      if (inGamut(linearOf(lab[here][0], a, b))) repaint(a, b);
      return (said.textContent = mark());
    });
    const again = element("button", { type: "button", textContent: "Start again" });
    again.addEventListener("click", () => { pixels.data.set((before = first)); said.textContent = mark(); });
    box.append(element("div", { className: "beside" }, canvas, gray, plane), said, again);
    pick(...placeGiven(box));
  }

  // -------------------------------------------------------------------------- elements

  const PIECES = { "before-after": beforeAfter, "one-of": oneOf, "real-or-coloured": realOrColoured, temperature, ambiguity };

  function define() {
    for (const [name, enliven] of Object.entries(PIECES)) {
      if (customElements.get(`colorlib-${name}`)) continue; // a notebook brings this many times
      customElements.define(`colorlib-${name}`, class extends HTMLElement {
        connectedCallback() {
          if (this.classList.contains("live")) return; // JupyterLab takes cells out and puts them back
          this.classList.add("live");
          enliven(this);
        }
      });
    }
  }

  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", define);
  else define();
})();
