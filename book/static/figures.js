// What figures and tables need on a telephone.

// What scrolls says so; figures have to be reached by the keyboard, too.
function reachFigures() {
  for (const table of document.querySelectorAll(".pst-scrollable-table-container")) {
    table.classList.toggle("scrolls", table.scrollWidth > table.clientWidth + 4);
  }
  for (const figure of document.querySelectorAll(".cell_output figure, .chart")) {
    // A chart shrunk to three fifths of its width has letters that nobody can read;
    // photographs may be shrunk to two fifths.
    const image = figure.querySelector("img");
    const most = /\.jpg$/.test(image?.src) ? 2.5 : 1.7;
    figure.classList.toggle("wide", parseFloat(image?.style.width) > most * figure.clientWidth);
    const clipped = getComputedStyle(figure).overflowX === "auto";
    if (clipped && figure.scrollWidth > figure.clientWidth) figure.tabIndex = 0;
    else figure.removeAttribute("tabindex");
  }
}

window.addEventListener("load", reachFigures); // with pictures, whose size counts
window.addEventListener("resize", reachFigures);
