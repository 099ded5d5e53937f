"""The demo's sample ward: rendered films, and the vital signs of twelve people who do not exist."""
