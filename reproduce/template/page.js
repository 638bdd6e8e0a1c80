"use strict";
(() => {
  const tiles = [...document.querySelectorAll(".tile[data-cell]")];
  const at = (id) => document.getElementById(id);
  const viewer = at("viewer"), stage = at("stage"), slider = at("slider");
  let shown = -1, original = "content";

  const picture = (tile, role) => document.querySelector(`img[data-original="${role}-${tile.dataset.row}"]`)
    || document.querySelector(`img[data-original="${role}-all"]`);

  function compare() {
    const tile = tiles[shown];
    if (!picture(tile, original)) original = "style";
    const source = picture(tile, original);
    at("before").src = source ? source.src : "";
    at("before").alt = original + " picture";
    at("slider-label").textContent = source ? `Draw the ${original} picture over the result` : "";
    for (const button of document.querySelectorAll("button[data-original]")) {
      button.hidden = !picture(tile, button.dataset.original);
      button.setAttribute("aria-pressed", String(button.dataset.original === original));
    }
    slide();
  }

  function slide() { stage.style.setProperty("--at", slider.value + "%"); }

  function show(number) {
    shown = (number + tiles.length) % tiles.length;
    const tile = tiles[shown], image = tile.querySelector("img");
    at("viewer-title").textContent = tile.dataset.label;
    at("after").src = image.src;
    at("after").alt = image.alt;
    slider.value = 0;
    const body = document.querySelector(`#cell-${tile.dataset.cell} .body`);
    at("about").replaceChildren(...(body ? [body.cloneNode(true)] : []));
    compare();
    if (!viewer.open) viewer.showModal();
  }

  function close() {
    viewer.close();
  }

  tiles.forEach((tile, number) => tile.addEventListener("click", () => show(number)));
  at("previous").addEventListener("click", () => show(shown - 1));
  at("next").addEventListener("click", () => show(shown + 1));
  at("close").addEventListener("click", close);
  viewer.addEventListener("close", () => { if (shown >= 0) tiles[shown].focus(); });
  viewer.addEventListener("click", (event) => { if (event.target === viewer) close(); });
  slider.addEventListener("input", slide);
  for (const button of document.querySelectorAll("button[data-original]")) {
    button.addEventListener("click", () => { original = button.dataset.original; slider.value = 50; compare(); });
  }
  document.addEventListener("keydown", (event) => {
    if (!viewer.open || event.ctrlKey || event.metaKey || event.altKey) return;
    const inSlider = event.target === slider;
    if (event.key === "ArrowLeft" && !inSlider) show(shown - 1);
    else if (event.key === "ArrowRight" && !inSlider) show(shown + 1);
    else if (event.key === "c" || event.key === "s") {
      const role = event.key === "c" ? "content" : "style";
      if (picture(tiles[shown], role)) { original = role; slider.value = slider.value > 0 ? slider.value : 50; compare(); }
    } else return;
    event.preventDefault();
  });
})();
