"""The compiler: definitions and a question become a few SQL statements.

KPIs are planned by the set of rows they read: every measure over the same relation, dating and
groups shares one scan (`rowset`), and what is left per KPI is arithmetic over the few aggregated
rows (`assemble`).
"""
