// What figures and tables need on a telephone.

// What scrolls says so; figures have to be reached by the keyboard, too.
function reachFigures() {
  for (const table of document.querySelectorAll(".pst-scrollable-table-container")) {
    table.classList.toggle("scrolls", table.scrollWidth > table.clientWidth + 4);
  }
  for (const figure of document.querySelectorAll(".cell_output figure")) {
    // Shrunk to two fifths of its width, a figure has letters that nobody can read.
    const width = parseFloat(figure.querySelector("img")?.style.width);
    figure.classList.toggle("wide", width > 2.5 * figure.clientWidth);
    const clipped = getComputedStyle(figure).overflowX === "auto";
    if (clipped && figure.scrollWidth > figure.clientWidth) figure.tabIndex = 0;
    else figure.removeAttribute("tabindex");
  }
}

window.addEventListener("load", reachFigures); // with pictures, whose size counts
window.addEventListener("resize", reachFigures);
