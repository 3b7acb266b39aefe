"""A run of two phases, which takes seconds."""

SMALL = {
    "tasks": ["dummy"],
    "isolate_envs": "thread",
    "dumbnet": True,
    "action_repeat": 100,
    "train_steps": 5,
    "test_steps": 5,
    "max_steps": 10,
}
