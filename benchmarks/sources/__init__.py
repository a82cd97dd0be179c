"""Models as their frameworks save them, in every form that a frontend of irconv reads."""
