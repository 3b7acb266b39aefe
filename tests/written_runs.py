"""Writes event files as runs do."""

import time

import tensorflow as tf
from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.plugins.image import metadata
from tensorboard.summary.writer import event_file_writer

LOSSES = ("loss/zero_step/image", "loss/zero_step/reward")


def write_run(
    folder, epochs=3, losses=LOSSES, offset=0.0, first=0, pace=None, collected=True
):
    """Writes epochs of 100 train and 10 test steps; values tell step and folder.

    The score of a test phase is its step plus the offset; the losses of a phase are the
    offset minus its step. With a pace, there are as many minutes in an epoch, 1000
    environment steps, and 20 updates. Only if `collected`, train phases have scores.
    """
    for phase, later in (("train", 100), ("test", 110)):
        with tf.summary.create_file_writer(str(folder / phase)).as_default():
            for epoch in range(first, first + epochs):
                step = 110 * epoch + later
                for tag in losses:
                    tf.summary.scalar(tag, offset - step, step)
                if phase == "test" or collected:
                    tf.summary.scalar("score", offset + step, step)
                if pace:
                    tf.summary.scalar("minutes", pace * (epoch + 1), step)
                    tf.summary.scalar("env_steps", 1000 * (epoch + 1), step)
                    tf.summary.scalar("updates", 20 * (epoch + 1), step)


def restart(folder, step):
    """Marks everything from a step on as void, as resumed runs do."""
    start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
    for phase in ("train", "test"):
        events = event_file_writer.EventFileWriter(str(folder / phase))
        now = time.time()
        events.add_event(event_pb2.Event(wall_time=now, step=step, session_log=start))
        events.close()


def write_image(folder, tag, step, *contents):
    """Writes encoded images as TensorBoard's image plugin shows them."""
    with tf.summary.create_file_writer(str(folder)).as_default(step):
        tensor = tf.constant([b"1", b"1", *contents])
        tf.summary.write(tag, tensor, metadata=metadata.create_summary_metadata("", ""))


def write_histogram(folder, tag, step, values):
    with tf.summary.create_file_writer(str(folder)).as_default(step):
        tf.summary.histogram(tag, values)


def write_value(folder, plugin, tag, tensor):
    """Writes a tensor, whatever it is, as a value of a plugin of TensorBoard."""
    value = summary_pb2.Summary.Value(tag=tag, tensor=tensor)
    value.metadata.plugin_data.plugin_name = plugin
    events = event_file_writer.EventFileWriter(str(folder))
    summary = summary_pb2.Summary(value=[value])
    events.add_event(event_pb2.Event(wall_time=time.time(), step=1, summary=summary))
    events.close()


def event_files(folder):
    return sorted(folder.glob("*tfevents*"))
