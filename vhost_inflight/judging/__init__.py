"""Where model and reference meet: schedules played on real memory, judged by what really happened there."""
