"""Scores, the choice by validation, and what pruning changed."""
