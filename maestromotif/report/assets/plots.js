// Draws the plots of the page with Plotly: each when it comes near the view, all before printing.
"use strict";
(() => {
  let figures = [];
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const touch = matchMedia("(hover: none)");

  // Colours are names of CSS variables; they stand only under keys that end in "color".
  function coloured(value, key, style) {
    if (Array.isArray(value)) return value.map((one) => coloured(one, key, style));
    if (value !== null && typeof value === "object")
      return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, coloured(one, name, style)]));
    if (typeof value === "string" && value.startsWith("--") && /color$/.test(key))
      return style.getPropertyValue(value).trim();
    return value;
  }

  // A title in lines of at most `most` letters. The text is escaped already.
  function wrapped(text, most) {
    const lines = [""];
    for (const word of text.split(" ")) {
      const last = lines[lines.length - 1];
      if (last && last.length + word.length >= most) lines.push(word);
      else lines[lines.length - 1] = last ? `${last} ${word}` : word;
    }
    return lines.join("<br>");
  }

  function layoutOf(figure, style, width) {
    const colour = (name) => style.getPropertyValue(name).trim();
    const given = coloured(figure.given.layout, "", style);
    const room = Math.max(12, Math.floor(((width || figure.drawing.clientWidth) - 60) / 6.6)); // letters of a title
    const axis = (own, key) => ({
      type: "linear", automargin: true, gridcolor: colour("--line"), linecolor: colour("--muted"),
      zerolinecolor: colour("--line"), tickcolor: colour("--muted"), nticks: 6, tickangle: 0, exponentformat: "SI",
      ...own,
      title: { standoff: 8, text: own.title ? wrapped(own.title.text, key[0] === "x" ? room : 38) : "", font: { size: 12, color: colour("--muted") } },
    });
    const layout = {
      font: { family: "system-ui, -apple-system, 'Segoe UI', sans-serif", size: 12, color: colour("--ink") },
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      showlegend: false, dragmode: touch.matches ? false : "zoom",
      modebar: { bgcolor: "rgba(0,0,0,0)", color: colour("--muted"), activecolor: colour("--accent") },
      hoverlabel: { bgcolor: colour("--panel"), bordercolor: colour("--line"), font: { color: colour("--ink"), size: 12 }, namelength: -1 },
      height: figure.drawing.clientHeight || parseInt(figure.drawing.style.height, 10),
      ...given,
      margin: { l: 12, r: 14, t: 10, b: 12, pad: 0, ...given.margin },
    };
    for (const name of Object.keys(layout).filter((key) => /^[xy]axis\d*$/.test(key))) layout[name] = axis(layout[name], name);
    if (touch.matches) layout.margin.t += 26; // room for the buttons, which are always there
    if (width) Object.assign(layout, { width, autosize: false });
    return layout;
  }

  function dataOf(figure, style) {
    return coloured(figure.given.data, "", style).map((trace) => ({
      ...trace, visible: !figure.hidden.has(trace.legendgroup),
    }));
  }

  // On a touch screen a drag scrolls the page, so the buttons for zooming are always there.
  const config = {
    responsive: true, displaylogo: false, showTips: false, typesetMath: false, scrollZoom: false,
    displayModeBar: touch.matches ? true : "hover",
    modeBarButtons: [["zoom2d", "pan2d", "zoomIn2d", "zoomOut2d", "resetScale2d", "toImage"]],
  };

  function draw(figure, width) {
    const style = getComputedStyle(document.documentElement);
    figure.drawn = true;
    Plotly.react(figure.drawing, dataOf(figure, style), layoutOf(figure, style, width), config);
    figure.element.dataset.drawn = "yes";
  }

  const redraw = (width) => figures.filter((one) => one.drawn).forEach((one) => draw(one, width));
  const visible = (figure) => figure.element.closest("details:not([open])") === null;

  const near = new IntersectionObserver(
    (entries) => entries.filter((entry) => entry.isIntersecting).forEach((entry) => {
      near.unobserve(entry.target);
      draw(figures.find((one) => one.element === entry.target));
    }),
    { rootMargin: "500px" },
  );

  // Finds the plots of an element. A live page calls it again for what its server has changed.
  function find(root) {
    const found = [...root.querySelectorAll("figure.plot")].map((element) => ({
      element,
      drawing: element.querySelector(".drawing"),
      given: JSON.parse(element.querySelector("script").textContent),
      hidden: new Set(), // names of the legend that are switched off
      drawn: false,
    }));
    figures = [...figures.filter((one) => one.element.isConnected), ...found];
    found.forEach(listen);
    document.documentElement.dataset.plots = String(figures.length);
  }

  function listen(figure) {
    near.observe(figure.element);
    for (const button of figure.element.querySelectorAll("button.key")) {
      const set = (name, on) => {
        if (on) figure.hidden.delete(name); else figure.hidden.add(name);
        for (const other of figure.element.querySelectorAll("button.key"))
          other.setAttribute("aria-pressed", String(!figure.hidden.has(other.dataset.group)));
      };
      button.addEventListener("click", () => {
        set(button.dataset.group, figure.hidden.has(button.dataset.group));
        draw(figure);
      });
      // A double click shows this line alone, or all lines if it is alone already.
      button.addEventListener("dblclick", () => {
        const all = [...figure.element.querySelectorAll("button.key")].map((one) => one.dataset.group);
        const alone = all.every((name) => figure.hidden.has(name) === (name !== button.dataset.group));
        for (const name of all) set(name, alone || name === button.dataset.group);
        draw(figure);
      });
    }
  }

  dark.addEventListener("change", () => redraw());
  // Paper is light and narrower than a screen. The class gives the light colours while the plots are drawn.
  addEventListener("beforeprint", () => {
    document.documentElement.classList.add("printing");
    figures.filter(visible).forEach((one) => draw(one, Math.min(one.element.clientWidth, 320)));
  });
  addEventListener("afterprint", () => {
    document.documentElement.classList.remove("printing");
    redraw();
  });
  window.findPlots = find;
  find(document);
})();
