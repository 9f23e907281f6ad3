"""Where Airflow meets the library: operators, triggers, connections, the roster of inboxes."""
