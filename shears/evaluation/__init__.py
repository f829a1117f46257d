"""Scores, the choice by validation score, and what pruning changed."""
