"""Search for good settings: trials scored on training pairs that are held out for this alone."""

from gistembed.search.record import SearchRecord, TrialRecord
from gistembed.search.run import SearchPlan, SearchResult, plan_search, run_search

__all__ = ["SearchPlan", "SearchRecord", "SearchResult", "TrialRecord", "plan_search", "run_search"]
