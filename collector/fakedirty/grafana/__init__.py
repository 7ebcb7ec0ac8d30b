"""What a Grafana that is already there is told: data source, folder and dashboards; migrations and toggles."""
