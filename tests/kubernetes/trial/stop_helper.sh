#!/bin/sh
exec python3 -m lmservice stop
