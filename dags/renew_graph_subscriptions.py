"""Every 12 hours: subscriptions that end within 36 hours, have ended, were never made, or let mail pass. They live for 70."""

from airflow.sdk import CronTriggerTimetable

from inboxops_airflow.push import push_dag

dag = push_dag("renew_graph_subscriptions", "microsoft", CronTriggerTimetable("41 2,14 * * *", timezone="UTC"), __doc__)
