// What moves the pieces of colorlib/widgets.py, and what figures need on a telephone. No
// library, no request, no cookie.

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

// A slider over two pictures. Its value is how much of the first one is seen, percent.
function beforeAfter(box) {
  const slider = element("input", { type: "range", min: 0, max: 100, value: 50 });
  slider.setAttribute("aria-label", box.dataset.label);
  const move = () => box.style.setProperty("--seen", `${slider.value}%`);
  slider.addEventListener("input", move);
  box.classList.add("live");
  box.append(slider);
  move();
}

// The interval of Wilson (1927) for a share, 95 %.
function wilson(right, count, z = 1.96) {
  const share = right / count;
  const middle = share + (z * z) / (2 * count);
  const half = z * Math.sqrt((share * (1 - share)) / count + (z * z) / (4 * count * count));
  return [middle - half, middle + half].map((end) => end / (1 + (z * z) / count));
}

// One pair after the other: choose, read why, go on; in the end a score and the votes.
function realOrColoured(box) {
  const questions = [...box.querySelectorAll("section")];
  const votes = [];
  const told = element("p", { className: "told" });
  told.setAttribute("role", "status"); // read out when it changes
  told.tabIndex = -1; // may be given the focus
  const next = element("button", { type: "button", textContent: "Next pair", hidden: true });
  box.classList.add("live");
  box.append(told, next);

  const answer = (question, place) => {
    const right = question.dataset.right;
    votes.push(place === right ? 1 : 0);
    question.querySelectorAll("button").forEach((button) => (button.disabled = true));
    const why = question.querySelector("details p").textContent;
    told.textContent = `${place === right ? "Right." : "No."} ${why}`;
    next.hidden = false;
    next.textContent = votes.length < questions.length ? "Next pair" : "Your score";
    next.focus();
  };
  for (const question of questions) {
    for (const figure of question.querySelectorAll("figure")) {
      const place = figure.querySelector("figcaption").textContent;
      const button = element("button", { type: "button", textContent: `The ${place} is real` });
      button.addEventListener("click", () => answer(question, place));
      figure.append(button);
    }
  }
  const show = () => {
    questions.forEach((question, index) => (question.hidden = index !== votes.length));
    next.hidden = true;
    if (votes.length < questions.length) {
      told.textContent = `Pair ${votes.length + 1} of ${questions.length}: which one has its true colours?`;
      return;
    }
    const right = votes.reduce((sum, vote) => sum + vote, 0);
    const [low, high] = wilson(right, votes.length).map((end) => Math.round(100 * end));
    told.textContent =
      `${right} of ${votes.length} right: ${Math.round((100 * right) / votes.length)} % ` +
      `(95 % interval ${low} to ${high} %). ` +
      (low <= 50 ? "This does not show that you can tell them apart. " : "You can tell them apart. ") +
      `Your votes, for the analysis below: ${votes.join(",")}`;
  };
  next.addEventListener("click", () => {
    show();
    // The button that had the focus is hidden: go on with the first choice, or the score.
    (box.querySelector(":scope > section:not([hidden]) button") ?? told).focus();
  });
  show();
}

// What scrolls, on a telephone, says so; figures have to be reached by the keyboard, too.
function reachFigures() {
  for (const table of document.querySelectorAll(".pst-scrollable-table-container")) {
    table.classList.toggle("scrolls", table.scrollWidth > table.clientWidth + 4);
  }
  for (const figure of document.querySelectorAll(".cell_output figure")) {
    const clipped = getComputedStyle(figure).overflowX === "auto";
    if (clipped && figure.scrollWidth > figure.clientWidth) figure.tabIndex = 0;
    else figure.removeAttribute("tabindex");
  }
}

window.addEventListener("load", reachFigures); // with pictures, whose size counts
window.addEventListener("resize", reachFigures);

document.addEventListener("DOMContentLoaded", () => {
  document.querySelectorAll(".before-after").forEach(beforeAfter);
  document.querySelectorAll(".real-or-coloured").forEach(realOrColoured);
});
