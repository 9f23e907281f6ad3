"""Where adapters meet stories: `world` holds the adapters of a process, each other file is one thing the product does with them.

Whoever runs the product (task, trigger, router, command) makes a World and calls one of these functions with it, and nothing
below. A World may show one tenant only, as the API's does.

mailboxes   an inbox opened: its account, its provider        runs        Airflow's runs, started now or remembered
intake      taking mail in: fetch, classify, persist          sending     replies and what lets them out
pushing     push channels                                     connecting  mailboxes that come and go
upkeep      what is left over, notices, retention             access      links that log in
"""
