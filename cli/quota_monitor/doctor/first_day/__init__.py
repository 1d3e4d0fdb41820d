"""`quota-monitor doctor --first-day`: look for what only a real account shows, and print it as a checklist.

Nobody has run this version in an AWS account when it is released. The checklist says of each assumption if it was seen,
is wrong, or could not be seen yet. It is made to be pasted into an issue, so it names no account, caller or resource.
"""
