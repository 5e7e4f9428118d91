"""Functions that misbehave in the ways chemistry code does; called by name in a worker process."""

import os
import time

WARM = False


def double(x):
    return 2 * x


def sleep_if_odd(x):
    if x % 2:
        time.sleep(60)
    return x


def misbehave(how):
    if how == "crash":
        os._exit(11)
    if how == "raise":
        raise ValueError("on purpose")
    if how == "print":
        print("noise on stdout")
        os.write(1, b"noise from native code\n")
    return how


def slow_warm():
    global WARM
    time.sleep(1.0)
    WARM = True


def is_warm(_):
    return WARM


def process_or_sleep(x):
    if x:
        time.sleep(60)
    return os.getpid()


def hoard(size):
    return len(bytearray(size))
