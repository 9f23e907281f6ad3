"""Airflow seen from outside: its REST API, for whoever has to wake an inbox or start a run."""
