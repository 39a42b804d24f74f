"""Azure ML, as a plug: its hooks, each of which leads to its room.

Nothing here imports azureml or azure at module level: this is read by code that serves every other store too.
"""
