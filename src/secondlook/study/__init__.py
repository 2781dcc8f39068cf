"""Studies: tables of experiments as files, run through the verbs, printed numbers beside measured ones.

`studies/*.yaml` hold the tables; this room reads them (`schema`), lays out what has to be trained and predicted
(`plan`), has it done (`run`, `workers`), measures it (`measure`, `compare`) and writes tables, charts and a page
(`results`, `charts`, `page`). It imports no torch: networks are trained by child processes that run the verbs.
"""
