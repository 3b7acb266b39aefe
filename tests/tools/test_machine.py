import os
import platform

from planet.tools import machine


def test_name_of_the_processor(tmp_path):
    path = tmp_path / "cpuinfo"
    assert machine.cpu(path) == platform.machine()
    path.write_text("processor\t: 0\nBogoMIPS\t: 50.00\nmodel name\t:\n")
    assert machine.cpu(path) == platform.machine()
    path.write_text("model\t\t: 2\nmodel name\t: A  Processor @ 3 GHz \n" * 2)
    assert machine.cpu(path) == "A Processor @ 3 GHz"
    assert machine.processor() == f"{machine.cpu()}, {os.cpu_count()} cores"
