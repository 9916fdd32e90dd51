"""The environment, validated, described, masked."""
