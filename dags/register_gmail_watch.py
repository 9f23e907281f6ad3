"""Has Google push the changes of a Gmail inbox: started when it is connected (conf: inbox_id), or by hand for all that lack it."""

from inboxops_airflow.push import push_dag

dag = push_dag("register_gmail_watch", "gmail", None, __doc__)
