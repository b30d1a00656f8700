"""Makes pages and tables from results, and the recording that the page shows."""
