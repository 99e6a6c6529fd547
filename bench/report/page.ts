import { plottedQuantiles } from '../load/messages.ts';
import { medianSample, type Series } from '../measure.ts';
import type { Report } from './report.ts';
import { noiseOf, tablesOf } from './tables.ts';
import { short, type Table } from './rows.ts';

/** The report as a single page without scripts, and without fonts or pictures from other files. */
export function pageOf(report: Report): string {
  const { machine, contenders, date, command, revision, seconds } = report;
  const facts = [
    `${machine.cpu}, ${machine.cores} cores, ${machine.memoryMb} MB, Linux ${machine.kernel}`,
    `Node ${machine.node}, ${machine.envoy}${machine.go === undefined ? '' : `, ${machine.go}`}`,
    `${date}, revision ${revision}, \`${command}\`, ${seconds.toFixed(0)} s`,
    noiseOf(report),
  ];
  const [bars, ...tables] = tablesOf(report);
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Curfew benchmark, ${escape(date.slice(0, 10))}</title>
<style>${style}</style>
<h1>Curfew benchmark</h1>
${facts.map((fact) => `<p>${escape(fact)}</p>`).join('\n')}
${bars === undefined ? '' : tableHtml(bars)}
<h2>CPU per request, as fast as it goes</h2>
${cpuPlot(contenders.closed)}
<h2>Latency at ${report.settings.ratePerSecond} requests/s</h2>
${latencyPlot(contenders.paced)}
<h2>Latency as fast as it goes</h2>
${latencyPlot(contenders.closed)}
${tables.map(tableHtml).join('\n')}
</html>
`;
}

const style = `
body { font: 15px/1.5 system-ui, sans-serif; max-width: 66rem; margin: 2rem auto; padding: 0 1rem; color: #1a1a1a; background: #fff }
table { border-collapse: collapse; margin: .5rem 0 1.5rem; font-variant-numeric: tabular-nums }
th, td { padding: .15rem .7rem; text-align: right; border-bottom: 1px solid #ddd } th:first-child, td:first-child { text-align: left }
h1 { font-size: 1.6rem } h2, h3 { font-size: 1.1rem; margin: 1.5rem 0 .3rem } p { margin: .1rem 0; color: #555 }
svg { max-width: 100%; height: auto; font: 12px system-ui, sans-serif }`;

const escape = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');

function tableHtml({ title, head, rows }: Table): string {
  const line = (cells: readonly string[], tag: 'td' | 'th'): string =>
    `<tr>${cells.map((cell) => `<${tag}>${escape(cell)}</${tag}>`).join('')}</tr>`;
  return `<h3>${escape(title)}</h3>
<table>${line(head, 'th')}${rows.map((row) => line(row, 'td')).join('')}</table>`;
}

const colours = [
  '#4269d0',
  '#efb118',
  '#ff725c',
  '#6cc5b0',
  '#3ca951',
  '#ff8ab7',
  '#a463f2',
  '#97bbf5',
  '#9c6b4e',
  '#777',
];
const colour = (index: number): string => colours[index % colours.length] ?? '#000';
const ours = (name: string): boolean => name.startsWith('curfew');

/** Bars: Envoy's share, then the server's. */
function cpuPlot(series: readonly Series[]): string {
  const labelWidth = 390;
  const width = 960;
  const samples = series.map((entry) => ({ ...entry, sample: medianSample(entry.samples) }));
  const totals = samples.map(({ sample }) => (sample.envoyUs ?? 0) + (sample.serverUs ?? 0));
  const scale = (width - labelWidth - 60) / Math.max(1, ...totals);
  const rows = samples.map(({ title, contender, sample }, index) => {
    const y = index * 24;
    const envoy = (sample.envoyUs ?? 0) * scale;
    const server = (sample.serverUs ?? 0) * scale;
    return `<text x="${labelWidth - 8}" y="${y + 15}" text-anchor="end"${ours(contender) ? ' font-weight="bold"' : ''}>${escape(title)}</text>
<rect x="${labelWidth}" y="${y + 3}" width="${envoy.toFixed(1)}" height="17" fill="#c9ced6"/>
<rect x="${(labelWidth + envoy).toFixed(1)}" y="${y + 3}" width="${server.toFixed(1)}" height="17" fill="${ours(contender) ? '#4269d0' : '#8a94a6'}"/>
<text x="${(labelWidth + envoy + server + 6).toFixed(1)}" y="${y + 15}">${short(totals[index])} µs</text>`;
  });
  return `<svg viewBox="0 0 ${width} ${series.length * 24 + 4}" role="img" aria-label="CPU per request: Envoy grey, server coloured">${rows.join('\n')}</svg>
<p>Grey: Envoy. Coloured: the server that decides.</p>`;
}

/** Latency over quantile, both axes logarithmic: the right end is the 99.9th percentile. */
function latencyPlot(series: readonly Series[]): string {
  const [left, top, width, height] = [60, 10, 560, 300];
  const curves = series.map((entry) => ({ ...entry, curve: medianSample(entry.samples).curve }));
  const values = curves.flatMap(({ curve }) => curve).filter((value) => value > 0);
  const [low, high] = [Math.log10(Math.min(...values)), Math.log10(Math.max(...values))];
  const x = (quantile: number): number => left + (-Math.log10(1 - quantile) / 3) * width;
  const y = (us: number): number =>
    top + height - ((Math.log10(us) - low) / Math.max(high - low, 0.01)) * height;
  const lines = curves.map(({ curve, title, contender }, index) => {
    const points = curve
      .map((us, at) => `${x(plottedQuantiles[at] ?? 0).toFixed(1)},${y(us).toFixed(1)}`)
      .join(' ');
    const thickness = ours(contender) ? 2.5 : 1.3;
    const legendY = top + 10 + index * 18;
    return `<polyline points="${points}" fill="none" stroke="${colour(index)}" stroke-width="${thickness}"/>
<line x1="640" x2="660" y1="${legendY}" y2="${legendY}" stroke="${colour(index)}" stroke-width="${thickness}"/>
<text x="666" y="${legendY + 4}">${escape(title)}</text>`;
  });
  const xMarks = [0.5, 0.9, 0.99, 0.999].map(
    (quantile) =>
      `<line x1="${x(quantile)}" x2="${x(quantile)}" y1="${top}" y2="${top + height}" stroke="#eee"/><text x="${x(quantile)}" y="${top + height + 16}" text-anchor="middle">p${quantile * 100}</text>`,
  );
  const yMarks = [50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000]
    .filter((us) => Math.log10(us) >= low && Math.log10(us) <= high)
    .map(
      (us) =>
        `<line x1="${left}" x2="${left + width}" y1="${y(us)}" y2="${y(us)}" stroke="#eee"/><text x="${left - 6}" y="${y(us) + 4}" text-anchor="end">${us >= 1000 ? `${us / 1000} ms` : `${us} µs`}</text>`,
    );
  return `<svg viewBox="0 0 1020 340" role="img" aria-label="Latency by percentile">${[...xMarks, ...yMarks, ...lines].join('\n')}</svg>`;
}
