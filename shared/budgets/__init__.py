"""Budgets: what runs may cost in a day or a month."""
