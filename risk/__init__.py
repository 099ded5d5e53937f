"""Who is likely to need a ventilator or intensive care next, and why."""
