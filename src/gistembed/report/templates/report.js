// Draws the charts of the page, in the colours of its theme, and opens folded parts for printing.
(() => {
  const specifications = document.getElementById("charts").textContent;
  const places = [...document.querySelectorAll("[data-chart]")];

  function draw() {
    const style = getComputedStyle(document.documentElement);
    const colored = specifications.replace(/var\((--[\w-]+)\)/g, (_, name) => style.getPropertyValue(name).trim());
    const charts = JSON.parse(colored);
    for (const place of places) {
      const { data, layout } = charts[place.dataset.chart];
      layout.font.family = style.fontFamily;
      Plotly.react(place, data, layout, { displayModeBar: false, responsive: true });
    }
  }

  draw();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  addEventListener("beforeprint", () => {
    document.querySelectorAll("details").forEach((details) => (details.open = true));
  });
})();
