"""What holds for all tests."""

from hypothesis import settings

# No example has a deadline: a machine may be busy, and a kernel may have to be compiled.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")
