"""Harms what is around a run (processes, disks, simulators, files), and looks at what is left."""
