"""Files as TensorFlow 1 writes them."""

import tensorflow as tf


def write_tf1_checkpoint(path, weights):
    """Saves variables as TensorFlow 1 does, along with optimizer slots."""
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        for name, value in weights.items():
            name = name.removesuffix(":0")
            tf.compat.v1.get_variable(name, initializer=value, use_resource=False)
            tf.compat.v1.get_variable(f"{name}/Adam", initializer=value * 0)
        tf.compat.v1.get_variable("global_step", initializer=1000)
        session.run(tf.compat.v1.global_variables_initializer())
        return tf.compat.v1.train.Saver().save(session, str(path))
