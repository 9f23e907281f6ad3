"""Has Microsoft push the new mail of an inbox: started when it is connected (conf: inbox_id), or by hand for all that lack it."""

from inboxops_airflow.push import push_dag

dag = push_dag("create_graph_subscription", "microsoft", None, __doc__)
