import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import type { LossPoint } from '#shared/api/schemas.ts';

export interface DrawnChart {
  setPoints(points: readonly LossPoint[]): void;
  destroy(): void;
}

const LINE_WIDTH_PX = 2.25;
/** More points than this stand too close together to be told apart. */
const MAX_DOTS = 120;
/** Room above and below the curve, as a share of its range. */
const Y_PADDING = 0.08;

/** The curve of loss over height: full dots where it was measured, open ones where it is estimated. `onHover` gets the index of the nearest point, or null when the pointer left. */
export function drawLossChart(element: HTMLElement, onHover: (index: number | null) => void): DrawnChart {
  const plot = new uPlot(options(element, onHover), [[], [], []], element);
  const resized = new ResizeObserver(() => plot.setSize(sizeOf(element)));
  resized.observe(element);
  const dark = matchMedia('(prefers-color-scheme: dark)');
  const repaint = () => plot.redraw(false, true);
  dark.addEventListener('change', repaint);
  return {
    setPoints(points) {
      plot.setData([
        points.map(({ height }) => height),
        points.map((point) => point.loss_nats),
        points.map((point) => (point.measured ? point.loss_nats : null)),
      ]);
    },
    destroy() {
      resized.disconnect();
      dark.removeEventListener('change', repaint);
      plot.destroy();
    },
  };
}

function options(element: HTMLElement, onHover: (index: number | null) => void): uPlot.Options {
  const colour = (name: string) => getComputedStyle(element).getPropertyValue(name).trim();
  const font = `12px ${colour('--font-text')}`;
  const dots = (fill: string): uPlot.Series.Points => ({
    show: (self) => self.data[0].length <= MAX_DOTS,
    size: 6,
    fill: () => colour(fill),
    stroke: () => colour('--accent'),
  });
  const axis = { font, stroke: () => colour('--quiet'), ticks: { show: false } };
  return {
    ...sizeOf(element),
    legend: { show: false },
    padding: [10, 12, 0, 0],
    cursor: {
      y: false,
      drag: { x: false, y: false },
      points: { size: 10, width: 2, fill: () => colour('--surface'), stroke: () => colour('--accent') },
    },
    scales: { x: { time: false, range: xRange }, y: { range: yRange } },
    axes: [
      { ...axis, grid: { show: false }, size: 30, space: 48, incrs: WHOLE_STEPS },
      { ...axis, grid: { stroke: () => colour('--line'), width: 1 }, size: 42, space: 44 },
    ],
    series: [
      {},
      {
        width: LINE_WIDTH_PX,
        stroke: () => colour('--accent'),
        fill: (self) => areaFill(self, colour('--accent')),
        points: dots('--surface'),
      },
      { paths: () => null, points: dots('--accent') },
    ],
    hooks: {
      setCursor: [(self) => onHover(self.cursor.idx ?? null)],
      drawAxes: [(self) => drawGenesis(self, colour('--line-strong'), font)],
    },
  };
}

/** Heights are whole numbers, and so are the marks on their axis. */
const WHOLE_STEPS = [1, 2, 2.5, 5]
  .flatMap((lead) => Array.from({ length: 9 }, (_, zeros) => lead * 10 ** zeros))
  .filter(Number.isInteger)
  .sort((a, b) => a - b);

function sizeOf(element: HTMLElement): { width: number; height: number } {
  return { width: Math.max(element.clientWidth, 120), height: Math.max(element.clientHeight, 100) };
}

function xRange(_plot: uPlot, min: number | null, max: number | null): uPlot.Range.MinMax {
  if (min === null || max === null) return [0, 1];
  return [min, Math.max(max, min + 1)];
}

function yRange(_plot: uPlot, min: number | null, max: number | null): uPlot.Range.MinMax {
  if (min === null || max === null) return [0, 1];
  const room = Math.max((max - min) * Y_PADDING, 0.02);
  return [Math.max(0, min - room), max + room];
}

function areaFill(plot: uPlot, colour: string): CanvasGradient {
  const { top, height } = plot.bbox;
  const gradient = plot.ctx.createLinearGradient(0, top, 0, top + height);
  gradient.addColorStop(0, `${colour}38`);
  gradient.addColorStop(1, `${colour}05`);
  return gradient;
}

/** A dashed line at the loss of genesis: the distance below it is what the pool has achieved. */
function drawGenesis(plot: uPlot, colour: string, font: string): void {
  const genesis = plot.data[1]?.[0];
  if (typeof genesis !== 'number') return;
  const { ctx, bbox } = plot;
  const y = plot.valToPos(genesis, 'y', true);
  ctx.save();
  ctx.strokeStyle = colour;
  ctx.lineWidth = devicePixelRatio;
  ctx.setLineDash([4 * devicePixelRatio, 4 * devicePixelRatio]);
  ctx.beginPath();
  ctx.moveTo(bbox.left, y);
  ctx.lineTo(bbox.left + bbox.width, y);
  ctx.stroke();
  ctx.font = font.replace('12px', `${12 * devicePixelRatio}px`);
  ctx.fillStyle = colour;
  ctx.textAlign = 'right';
  ctx.textBaseline = 'top';
  ctx.fillText('genesis', bbox.left + bbox.width, y + 5 * devicePixelRatio);
  ctx.restore();
}
