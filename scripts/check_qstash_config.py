#!/usr/bin/env python3
"""Checks the configuration: see --help."""

import sys

import bootstrap

bootstrap.enter("local")

from local.check import main

sys.exit(main())
