/** Figures, bars of gauges and tables as Grafana's own components draw them: the text that can be read in them. */

import type { DataFrame, FieldDisplay, GrafanaTheme2 } from '@grafana/data';
import { ThemeContext } from '@grafana/data';
import { BarGauge, BigValue, Table } from '@grafana/ui';
import type { ReactElement } from 'react';
import { flushSync } from 'react-dom';
import { createRoot } from 'react-dom/client';

const WIDTH = 1600;
const HEIGHT = 800;

export function drawnFigure({ display }: FieldDisplay, colorMode: never, theme: GrafanaTheme2): string {
  return drawn(<BigValue value={display} width={WIDTH} height={HEIGHT} theme={theme} colorMode={colorMode} />, theme);
}

// eslint-disable-next-line @typescript-eslint/no-explicit-any -- the options of the panel
export function drawnGauge({ display, field }: FieldDisplay, options: any, theme: GrafanaTheme2): string {
  const { displayMode, orientation } = options;
  return drawn(<BarGauge value={display} field={field} width={WIDTH} height={HEIGHT} theme={theme} {...{ displayMode, orientation }} />, theme);
}

/** Rows of a table, the first of which are the names of columns. */
export function drawnTable(frame: DataFrame, theme: GrafanaTheme2): string[][] {
  const cells = (row: Element) => [...row.querySelectorAll('[role=columnheader],[role=cell]')].map(read);
  return drawnAs(<Table data={frame} width={WIDTH} height={HEIGHT} columnMinWidth={80} />, theme, (there) => [
    ...[...there.querySelectorAll('[role=row]')].map(cells).filter((row) => row.length),
  ]);
}

function drawn(element: ReactElement, theme: GrafanaTheme2): string {
  return drawnAs(element, theme, read);
}

function drawnAs<T>(element: ReactElement, theme: GrafanaTheme2, look: (there: HTMLElement) => T): T {
  const there = document.body.appendChild(document.createElement('div'));
  const root = createRoot(there);
  flushSync(() => root.render(<ThemeContext.Provider value={theme}>{element}</ThemeContext.Provider>));
  const found = look(there);
  root.unmount();
  there.remove();
  return found;
}

function read(element: Element): string {
  return (element as HTMLElement).innerText.replace(/\s+/g, ' ').trim();
}
