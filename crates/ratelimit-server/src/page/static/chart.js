// Draws the last ticks: bars per 100 ms, and a line against the limit. The style sheet has the colours.

export const TICKS_SHOWN = 300;

/** Allowed upwards, denied downwards. `ticks` holds {allowed, denied}, the newest last. */
export function drawRates(canvas, ticks) {
  const { context, width, height, colour } = begin(canvas);
  const highest = (field) => Math.max(0, ...ticks.map((tick) => tick[field]));
  const [up, down] = [highest("allowed"), highest("denied")];
  const unit = (height - 16) / Math.max(1, up + down);
  const axis = 8 + up * unit;
  const step = width / TICKS_SHOWN;
  ticks.forEach((tick, i) => {
    const x = width - (ticks.length - i) * step;
    bar(context, colour("--allowed"), x, axis - tick.allowed * unit, step, tick.allowed * unit);
    bar(context, colour("--denied"), x, axis, step, tick.denied * unit);
  });
  context.fillStyle = colour("--line");
  context.fillRect(0, axis - 0.5, width, 1);
  if (up > 0) label(context, colour("--quiet"), `${up}`, 2, axis - up * unit + 4);
  if (down > 0) label(context, colour("--quiet"), `${down}`, 2, axis + down * unit - 4);
}

/** The number allowed within one window, with the limit dashed. The area above the limit is marked. */
export function drawUsage(canvas, ticks, limit) {
  const { context, width, height, colour } = begin(canvas);
  const top = Math.max(limit, ...ticks.map((tick) => tick.used)) * 1.15 || 1;
  const y = (value) => height - 1 - (value / top) * (height - 2);
  const step = width / TICKS_SHOWN;
  const x = (i) => width - (ticks.length - i) * step;
  const area = (value, floor) => {
    context.beginPath();
    context.moveTo(x(0), y(floor));
    ticks.forEach((tick, i) => {
      context.lineTo(x(i), y(value(tick)));
      context.lineTo(x(i + 1), y(value(tick)));
    });
    context.lineTo(width, y(floor));
  };
  context.fillStyle = colour("--allowed-soft");
  area((tick) => Math.min(tick.used, limit), 0);
  context.fill();
  context.fillStyle = colour("--over");
  area((tick) => Math.max(tick.used, limit), limit);
  context.fill();
  context.strokeStyle = colour("--quiet");
  context.setLineDash([4, 4]);
  context.beginPath();
  context.moveTo(0, y(limit));
  context.lineTo(width, y(limit));
  context.stroke();
  label(context, colour("--quiet"), `limit ${limit}`, 2, y(limit) + (y(limit) < 16 ? 8 : -7));
}

/** An empty canvas of its laid-out size, in pixels of the screen. */
function begin(canvas) {
  const scale = window.devicePixelRatio || 1;
  const { clientWidth: width, clientHeight: height } = canvas;
  const [wide, high] = [Math.round(width * scale), Math.round(height * scale)];
  if (canvas.width !== wide || canvas.height !== high) Object.assign(canvas, { width: wide, height: high });
  const context = canvas.getContext("2d");
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.clearRect(0, 0, width, height);
  context.setLineDash([]);
  const style = getComputedStyle(canvas);
  return { context, width, height, colour: (name) => style.getPropertyValue(name).trim() };
}

function bar(context, colour, x, y, step, height) {
  if (height <= 0) return;
  context.fillStyle = colour;
  context.fillRect(x, y, Math.max(step - 0.5, 1.5), height);
}

function label(context, colour, text, x, y) {
  context.font = "11px system-ui, sans-serif";
  context.textBaseline = "middle";
  context.fillStyle = colour;
  context.fillText(text, x, y);
}
