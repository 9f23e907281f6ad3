"""Every day: watches that end within a day, have ended, were never made, or let mail pass. Google keeps one for seven days."""

from airflow.sdk import CronTriggerTimetable

from inboxops_airflow.push import push_dag

dag = push_dag("renew_gmail_watches", "gmail", CronTriggerTimetable("17 3 * * *", timezone="UTC"), __doc__)
