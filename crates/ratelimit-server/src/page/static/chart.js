// Draws the last ticks over the time since the start of the simulation: bars per 100 ms, and a line
// against the limit. Charts side by side get the same scale. The style sheet has the colours.

/** How much time a chart shows. */
export const SHOWN_MS = 30_000;
const TICK_MS = 100;
const GRID_MS = 5_000;
const GUTTER = { left: 30, bottom: 18, top: 10 };

/**
 * Allowed upwards, denied downwards. `ticks` holds {at_ms, allowed, denied}; `scale` is the highest
 * {up, down}; `marks` holds moments as {at_ms, text}.
 */
export function drawRates(canvas, ticks, { now, scale, marks }) {
  const chart = begin(canvas, now);
  const { context, colour, x, bottom } = chart;
  const isEmpty = scale.up + scale.down === 0;
  const unit = isEmpty ? 0 : (bottom - GUTTER.top) / (scale.up + scale.down);
  const axis = isEmpty ? bottom : GUTTER.top + scale.up * unit;
  for (const { at_ms, allowed, denied } of ticks) {
    bar(context, colour("--allowed"), x(at_ms - TICK_MS), axis - allowed * unit, chart.step, allowed * unit);
    bar(context, colour("--denied"), x(at_ms - TICK_MS), axis, chart.step, denied * unit);
  }
  line(chart, axis);
  label(chart, "0", axis);
  if (scale.up > 0) label(chart, scale.up, GUTTER.top);
  if (scale.down > 0) label(chart, scale.down, bottom);
  drawMarks(chart, marks);
  drawNames(chart, marks);
}

/**
 * The number allowed within one window, with the bound dashed. The area above the bound is marked.
 * `ticks` holds {at_ms, used}; `scale` is the highest value of all charts side by side.
 */
export function drawUsage(canvas, ticks, { now, scale, bound, marks }) {
  const chart = begin(canvas, now);
  const { context, colour, x, bottom, width } = chart;
  const y = (value) => bottom - (value / Math.max(1, scale)) * (bottom - GUTTER.top);
  const area = (value, floor) => {
    context.beginPath();
    context.moveTo(x(ticks[0].at_ms - TICK_MS), y(floor));
    for (const tick of ticks) {
      context.lineTo(x(tick.at_ms - TICK_MS), y(value(tick)));
      context.lineTo(x(tick.at_ms), y(value(tick)));
    }
    context.lineTo(x(ticks.at(-1).at_ms), y(floor));
    context.fill();
  };
  if (ticks.length > 0) {
    context.fillStyle = colour("--allowed-soft");
    area((tick) => Math.min(tick.used, bound), 0);
    context.fillStyle = colour("--over");
    area((tick) => Math.max(tick.used, bound), bound);
  }
  line(chart, y(0));
  context.strokeStyle = colour("--quiet");
  context.setLineDash([4, 4]);
  stroke(context, GUTTER.left, y(bound), width, y(bound));
  label(chart, bound, y(bound));
  label(chart, "0", y(0));
  if (y(bound) - y(scale) > 20) label(chart, scale, y(scale));
  drawMarks(chart, marks);
}

/** An empty canvas of its laid-out size, in pixels of the screen, with the axis of time. */
function begin(canvas, now) {
  const pixels = window.devicePixelRatio || 1;
  const { clientWidth: width, clientHeight: height } = canvas;
  const [wide, high] = [Math.round(width * pixels), Math.round(height * pixels)];
  if (canvas.width !== wide || canvas.height !== high) Object.assign(canvas, { width: wide, height: high });
  const context = canvas.getContext("2d");
  context.setTransform(pixels, 0, 0, pixels, 0, 0);
  context.clearRect(0, 0, width, height);
  context.setLineDash([]);
  context.font = "11px system-ui, sans-serif";
  const style = getComputedStyle(canvas);
  const from = Math.max(0, now - SHOWN_MS);
  const scale = (width - GUTTER.left) / SHOWN_MS;
  const x = (at_ms) => GUTTER.left + Math.max(0, at_ms - from) * scale;
  const colour = (name) => style.getPropertyValue(name).trim();
  const chart = { context, width, from, x, colour, step: TICK_MS * scale, bottom: height - GUTTER.bottom };
  drawTime(chart, height);
  return chart;
}

function drawTime({ context, width, from, x, colour, bottom }, height) {
  context.textBaseline = "alphabetic";
  context.textAlign = "center";
  for (let at = Math.ceil(from / GRID_MS) * GRID_MS; at <= from + SHOWN_MS; at += GRID_MS) {
    context.strokeStyle = colour("--line");
    stroke(context, x(at), GUTTER.top, x(at), bottom);
    context.fillStyle = colour("--quiet");
    if (x(at) < width - 14) context.fillText(`${at / 1000} s`, x(at), height - 5);
  }
}

function drawMarks({ context, from, x, colour, bottom }, marks) {
  context.strokeStyle = colour("--denied-text");
  context.setLineDash([2, 2]);
  for (const { at_ms } of marks.filter((mark) => mark.at_ms >= from)) stroke(context, x(at_ms), GUTTER.top, x(at_ms), bottom);
}

function drawNames({ context, width, from, x, colour }, marks) {
  marks.filter(({ at_ms }) => at_ms >= from).forEach(({ at_ms, text }, i) => {
    const wide = context.measureText(text).width + 6;
    const isLeft = x(at_ms) + wide < width;
    // Moments that follow each other do not write over each other.
    const y = GUTTER.top + 15 * (i % 3);
    context.fillStyle = colour("--ground");
    context.fillRect(isLeft ? x(at_ms) + 2 : x(at_ms) - wide - 1, y, wide, 14);
    context.textAlign = isLeft ? "left" : "right";
    context.textBaseline = "middle";
    context.fillStyle = colour("--denied-text");
    context.fillText(text, x(at_ms) + (isLeft ? 5 : -4), y + 7);
  });
}

function bar(context, colour, x, y, step, height) {
  if (height <= 0 || x < GUTTER.left) return;
  context.fillStyle = colour;
  context.fillRect(x, y, Math.max(step - 0.5, 1.5), height);
}

function line({ context, width, colour }, y) {
  context.strokeStyle = colour("--quiet");
  stroke(context, GUTTER.left, y, width, y);
}

function stroke(context, fromX, fromY, toX, toY) {
  context.lineWidth = 1;
  context.beginPath();
  context.moveTo(Math.round(fromX) + 0.5, Math.round(fromY) + 0.5);
  context.lineTo(Math.round(toX) + 0.5, Math.round(toY) + 0.5);
  context.stroke();
}

function label({ context, colour }, text, y) {
  context.textAlign = "right";
  context.textBaseline = "middle";
  context.fillStyle = colour("--quiet");
  context.fillText(`${text}`, GUTTER.left - 5, y);
}
