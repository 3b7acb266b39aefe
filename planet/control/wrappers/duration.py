"""Wrappers that change how long an episode lasts."""

import gymnasium


class MinimumDuration(gymnasium.Wrapper):
    """Postpones the end of an episode until `duration` steps have been made.

    Until then, the last observation is held, with a reward of 0; the environment itself
    is not stepped after its end.
    """

    def __init__(self, env: gymnasium.Env, duration: int):
        super().__init__(env)
        self._duration = duration
        self._steps = 0
        self._end = None

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple:
        """Starts an episode."""
        self._steps = 0
        self._end = None
        return self.env.reset(seed=seed, options=options)

    def step(self, action) -> tuple:
        """Returns the environment's results, or holds those of its end."""
        self._steps += 1
        if self._end:
            observation, *ends = self._end
            reward, info = 0.0, {}
        else:
            observation, reward, *ends, info = self.env.step(action)
            if any(ends):
                self._end = (observation, *ends)
        if self._steps < self._duration:
            ends = (False, False)
        return observation, reward, *ends, info
