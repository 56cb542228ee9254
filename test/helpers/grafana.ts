import { repositoryFile } from '#test/helpers/repository.ts';

export interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly description?: string;
  readonly datasource?: { readonly uid: string };
  readonly gridPos: { readonly h: number; readonly w: number; readonly x: number; readonly y: number };
  readonly fieldConfig?: { readonly defaults: { readonly unit?: string } };
  readonly targets?: readonly { readonly refId: string; readonly expr: string }[];
}

export const PROMETHEUS_CONFIG = 'grafana/prometheus/prometheus.yml';
export const ALERTS = 'grafana/prometheus/alerts.yml';
export const DATA_SOURCES = 'grafana/provisioning/datasources/prometheus.yml';
export const DASHBOARDS = ['grafana/dashboards/overview.json'];

/** The panels of every dashboard, without the headings between them. */
export async function dashboardPanels(): Promise<Panel[]> {
  const texts = await Promise.all(DASHBOARDS.map(repositoryFile));
  return texts
    .flatMap((text) => (JSON.parse(text) as { panels: Panel[] }).panels)
    .filter((panel) => panel.type !== 'row');
}
