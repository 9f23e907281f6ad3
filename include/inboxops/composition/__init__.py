"""Where adapters meet stories: `world` holds the adapters of a process, each other file is one thing the product does with them.

Whoever runs the product (task, trigger, router, command) makes a World and calls one of these functions with it, and nothing
below. A World may show one tenant only, as the API's does.

mailboxes   an inbox opened: its account, its provider        runs        Airflow's runs, started now or remembered
intake      taking mail in: fetch, classify, persist          sending     replies and what lets them out
filing      a backlog in several processes, and what is left  resyncing   an inbox compared with its mailbox
forks       work spread over forked processes                 beside      one more process beside this one
pushing     push channels                                     connecting  mailboxes that come and go
looking     looking at inboxes without a run                  canaries    mails that must come back
certifying  certificates that all mail is accounted for       replaying   stored mail read again
mail_rules  a tenant's mail rules, changed and tried          correcting  what people put right
erasing     a customer, or a tenant, for good                 moving      tenants that go to another cell
upkeep      what is left over, notices, retention             console     what operators do in Airflow's UI
access      links that log in                             departing   tenants that go to another installation
"""
